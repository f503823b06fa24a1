"""Everything that torch doesn't guarantee: private names, and differences between its versions.

No other code of the package uses a private name of torch (`tests/test_import_rules.py` checks this). Each name here has
a docstring that says what it is for. Unless the docstring says otherwise, torch 2.9 to 2.15 have the name with the same
behavior, and torch has no public equivalent.

    facts          results that differ between versions
    dispatch       modes, dispatch keys, and the dispatcher's tables
    ops            schemas, and private ops
    higher_order   ops that take functions
    autograd       autograd nodes, their sequence numbers, and `torch.func`
    autocast       supported devices, and the state of regions
    tensors        base classes, storages, reference counts
    modules        `__call__`, the tables of parameters, private classes
    optimizers     hooks around an optimizer's step
    settings       settings that public functions can't read or can't restore
    distributed    process groups, DTensor and FSDP
    pipelining     stages and schedules of pipelines
    compilation    stand-ins for the compiler while it is not loaded
    counter        torch's FLOP counter
    packages       names of private modules
    interpreter    what CPython doesn't guarantee

torch's functions are bound here without a wrapper, because some are called for every op and others inspect their
caller's frame. A constant that ends in `_PLACE` is an attribute that a `Patch` replaces: its owner and its name.
"""
