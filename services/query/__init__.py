"""The query service: takes predictions and answers each by its deadline."""
