"""What this study does with the method: its settings, steps, tables, figures and claims."""
