TEXTS = ["good film", "bad film it was", "the very bad film", "a good and very good film"]
