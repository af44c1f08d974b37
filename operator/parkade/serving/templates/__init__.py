"""Files that go to Triton servers as they are; Parkade itself imports nothing here."""
