"""Models solved in closed form."""
