"""The slides' claims as data, one file per topic. `lecture.contents` lists them."""
