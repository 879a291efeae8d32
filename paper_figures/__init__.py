"""One module per figure: `data()` gives a table, `draw(table)` plots it; nothing here trains."""
