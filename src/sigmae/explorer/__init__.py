"""The explorer: one page in which a run's decoder answers to the hand; see `page.write_explorer`.

Nothing is imported here, since `vendoring` also runs where this package is built, with nothing installed.
"""
