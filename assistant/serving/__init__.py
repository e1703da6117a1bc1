"""What the server (assistant/server.py) is made of: the wire format, the line before the model, the scans it keeps.

Nothing here but `gate.py` knows the web framework, and nothing but `answer.py` and `gate.py` knows asyncio.
"""
