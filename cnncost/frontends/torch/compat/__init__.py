"""Everything that torch doesn't guarantee: private names, and differences between its versions.

No other code of the package uses a private name of torch (`tests/test_import_rules.py` checks it). Each name here says
what it is for. Unless its docstring says otherwise, torch 2.9 to 2.15 have it, they treat it alike, and torch offers
nothing public instead.

    facts          results that differ between versions
    dispatch       modes, dispatch keys, and the dispatcher's tables
    ops            schemas, and private ops
    higher_order   ops that take functions
    autograd       nodes, their numbers, and `torch.func`
    autocast       devices and state
    tensors        base classes, storages, reference counts
    modules        how a module is called, its tables, classes
    settings       what torch has no way to ask for: the default device
    packages       private modules, by name
    interpreter    Python's own, likewise not guaranteed

Functions of torch are bound here without a wrapper: some are called for each op, others look at their caller's frame.
What replaces an attribute of torch names it by a constant that ends in `_PLACE`: its owner, and its name.
"""
