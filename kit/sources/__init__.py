"""Where images come from: official batches, image folders, the competition's file, and how they are found."""
