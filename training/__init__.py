"""Training the assistant's weights and measuring them.

The stages See (`see.py`), Align (`align.py`) and Converse (`converse.py`) are straight-line scripts over one YAML file
each (`configs/`); `evaluate.py` asks a trained model in words and compares its masks with expert ones.
"""
