"""From stored rows to alerts: `judging` says what a result means for a rule, `changes` what that
does to an alert, `deadlines` what is late, `notices` what is to be told and when, `sweep` does all
of it with a constant number of statements.
"""
