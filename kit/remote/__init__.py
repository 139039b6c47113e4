"""The Kaggle side: client, credentials, uploads, kernels, and the record of submissions."""
