"""What is served: the shape of a model, those that are built in, and how configurations are read.

Reading order: `attention`, `shape`, `published`; `families`, `huggingface` and `mindformers` read what others wrote.
"""
