"""A decode step and a prefill pass: operators in streams and layers, the memory they need, and what is predicted.

Reading order: `step_time`, `decode_step`, `prefill_pass`, `die_memory`, `predict`.
"""
