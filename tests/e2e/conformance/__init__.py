"""The server against the service model that AWS publishes with botocore.

    model.py         the model: operations, errors, constraints; what is wrong with an answer
    client.py        raw JSON calls over one connection; which errors were ever seen
    constants.py     what the node of the test is like, and what its data is made of
    world.py         what cases need: a trail, stores, …, each made when first named; more of it in
    asked.py         queries and imports, and
    configured.py    channels, dashboards, policies and settings
    cases.py         valid inputs for every operation, as data
    absent.txt       documented members that do not come, with reasons
    provocations.py  how errors are provoked: generators over the model
    conversations.py how errors are provoked: those with a story of their own
    unprovoked.txt   errors that cannot be provoked, with reasons
    limits.py        values below, at and above every limit, and values of the wrong kind
    lenient.txt      values outside a limit that are taken all the same, with reasons
    tokens.py        first pages that hand out a NextToken

Operations that are not implemented are skipped by what the server answers, not by a list.
"""
