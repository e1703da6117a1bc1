"""What the `deixis` command (assistant/cli.py) is made of: its arguments, what each sub-command does, what is printed.

Imports inside functions: `deixis --help` and `deixis info` must not wait for torch.
"""
