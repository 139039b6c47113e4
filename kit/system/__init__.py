"""The ground floor: files, paths, signals, this machine's cores, devices and precisions.

Import its modules: `from kit.system import files`. It imports nothing of the kit but errors.
"""
