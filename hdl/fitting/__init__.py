"""Fits of one shard in memory, as estimators make them: here, or by a worker of a session.

    rounds.py   the loop over rounds, without a table
    score.py    what samples that are held out are scored by
    pace.py     learning rates that follow the training itself
    order.py    a fit and what it has made, as messages and files
    place.py    where a thread's fits are trained

They know nothing of scikit-learn, which a session's workers need not have.
"""
