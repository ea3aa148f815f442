"""A day whose mix changes: what is the best split that stands, and what do autoscalers need?"""
