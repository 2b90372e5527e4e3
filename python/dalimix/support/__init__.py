"""What every part may need and no part is about: numbers, lists, paths, packages, forks, the compiler."""
