"""What projects will spend: methods and their mean, parts that sum to the whole, intervals, paths, and their tests."""
