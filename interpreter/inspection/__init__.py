"""What looks inside a model or a run: a run loads none of it.

inspecting   what a model is, node by node, with ``costs`` (parameters, FLOPs) of each
trace        every value of a run, with its ``summary``
compare      node by node against another side (``difference``), and ``bisect`` on what differs
profile      where the time and the memory of a run go
explain      what an operator does; ``worked`` shows it on a node's own numbers, a recurrent one
             gate by gate (``gates``)
html         pages and notebook tables of these, with ``pictures``
"""
