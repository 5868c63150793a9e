"""The result schema, its files, and the tables drawn from them."""
