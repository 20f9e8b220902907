"""Pictures, tables and demonstrations for single notebooks; the method needs none of them."""
