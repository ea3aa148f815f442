"""`make clients`: clients of others against a service of ours, and what each reports beside what the service counted.

`cases` has one function for each client, `environments` makes the virtual environments that they live in, `figures`
reads what the service counted, and `__main__` runs them all. It is no part of `make test`: the environments are some
2 GB, and come from the package index.
"""
