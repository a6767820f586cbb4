"""Doctor: what is wrong with this environment, repository and service, each with its cure, and why a stage will run.

It only reads. It also runs where libraries are missing or others, so its modules import them where they are used.
"""
