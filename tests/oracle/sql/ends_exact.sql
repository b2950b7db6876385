select step * {size} as window_end from range({lowest} // {size} - 1, {highest} // {size} + 2) as steps(step)
