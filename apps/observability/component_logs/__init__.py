"""What components write, for pages: `reading` asks the data plane, of one component or of all,
`choices` says which lines are wanted, `lines` makes them safe to show.
"""
