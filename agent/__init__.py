"""What decides: the notebook, the judge, the policy and the proposers."""
