"""What the desk (app.py) is made of: one reader's seat, the files its viewer loads, the page it renders.

Nothing here imports Gradio: app.py lays out the components and wires them.
"""
