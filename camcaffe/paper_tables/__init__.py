"""The paper's tables, made again: which networks, over which images, held against the paper's figures."""
