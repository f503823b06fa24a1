"""The slides' claims as data, one file a topic. `lecture.contents` lists them."""
