"""Studies: many runs, cell by cell, and the tables that are made from them."""
