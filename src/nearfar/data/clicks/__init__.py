"""Search and click logs, and what they say of documents once position and chance are taken out."""
