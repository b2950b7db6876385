select instant_of({anchor} + step * {days} * 86400000000, '{zone}') as window_end
from range(({lowest} - {anchor}) // ({days} * 86400000000) - 2, ({highest} - {anchor}) // ({days} * 86400000000) + 3) as steps(step)
