"""Conversations and masks for training: record format, anatomy, instruction families, one module a data set.

Nothing here knows of models. `training/` joins these records to images and networks.
"""
