"""What each verb does: convert (the batch of inputs), plan, info, validate, view, clean, memprofile; progress and log for all."""
