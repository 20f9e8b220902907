"""What the command line does beyond runs and checks, one module per command.

| module | command |
|---|---|
| listing | settings, stages |
| new | new |
| report | report |
| predict | predict |
| folds | folds |
| evidence | evidence |
| page | (the HTML page that report and predict write) |
"""
