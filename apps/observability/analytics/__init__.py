"""The page with the charts of a Deployment: which time (`ranges`), which charts (`charts`), which
marks on them (`marks`), put together for the page, its points and its download (`pages`).
"""
