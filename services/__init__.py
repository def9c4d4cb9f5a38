"""The services of a Clipper cluster: query, management and model container, and what they share."""
