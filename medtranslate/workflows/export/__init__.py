"""Models in the forms of other programs: one module a form, and the table of them."""
