"""Change hints: "this drive moved". A hint may be lost or come twice; the feed is the truth."""
