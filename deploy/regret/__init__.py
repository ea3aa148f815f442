"""What the other choices would have cost: a run followed up to one decision, and another choice made there.

Reading order: `overridden`, `counterfactuals`, `regret`, `page`.
"""
