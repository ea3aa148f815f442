"""The prefill instance: passes over chunks of prompts, first come first served.

Reading order: `instance` (the component), `step_cost` (what it asks of the hardware model), `config`.
"""
