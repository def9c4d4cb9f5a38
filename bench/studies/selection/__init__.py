"""What several models behind one application bring: the figures of the paper, with real models and feedback."""
