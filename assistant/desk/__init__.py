"""What the desk (app.py) is made of: one reader's seat, the files its viewer loads, the page it renders.

Nothing here imports Gradio but the two workspaces that app.py puts beside its own: `report_tab.py`, `compare_tab.py`.
"""
