"""What every study is made of: a cluster, load, counts, and a page to write to."""
