# AUC, DeLong variance, interval and paired test of 18 made-up cases by pROC.
#     Rscript proc.R        (in this folder; needs the package pROC)
# Writes inputs.csv (case, truth, a, b) and values.csv, all numbers with 17 significant digits.

suppressPackageStartupMessages(library(pROC))
set.seed(20201)

truths <- function(malignant, benign) rep(c(1, 0), c(malignant, benign))
two <- function(truth, a, b = NULL) list(truth = truth, a = a, b = b)
noise <- function(truth, shift) shift * truth + rnorm(length(truth))

middle <- truths(40, 60)
shared <- rnorm(100)
few <- truths(3, 500)
small <- truths(12, 25)

cases <- list(
  # one model
  "no ties" = two(middle, noise(middle, 1)),
  "ties" = two(middle, round(noise(middle, 1), 0)),
  "2 against 2" = two(truths(2, 2), c(0.9, 0.3, 0.5, 0.1)),
  "perfect separation" = two(truths(5, 7), c(8:12, 1:7)),
  "reversed" = two(truths(5, 7), c(1:5, 8:14)),
  "3 against 500" = two(few, noise(few, 1.5)),
  "all scores identical" = two(truths(4, 6), rep(0.5, 10)),
  "scores near 1e-300" = two(small, (5 + round(noise(small, 1), 2)) * 1e-300),
  "interval beyond 1" = two(truths(4, 9), c(5, 8, 9, 10, 6, 1, 2, 3, 4, 0, 2, 1, 3)),
  # two models on the same lesions
  "two models" = two(middle, noise(middle, 1.2), noise(middle, 0.6)),
  "two models, ties" = two(middle, round(noise(middle, 1.2)), round(noise(middle, 0.6))),
  "two models, positive correlation" =
    two(middle, noise(middle, 1) + 2 * shared, noise(middle, 0.5) + 2 * shared),
  "two models, negative correlation" =
    two(middle, noise(middle, 1) + 2 * shared, noise(middle, 0.5) - 2 * shared),
  "identical models" = two(middle, shared + middle, shared + middle),
  "one constant model" = two(middle, noise(middle, 1), rep(0.5, 100)),
  "two models, 3 against 500" = two(few, noise(few, 1.5), noise(few, 0.5)),
  "two models, 2 against 2" = two(truths(2, 2), c(0.9, 0.3, 0.5, 0.1), c(0.2, 0.8, 0.6, 0.4)),
  "perfect against reversed" = two(truths(5, 7), c(8:12, 1:7), c(1:5, 8:14))
)

digits <- function(x) ifelse(is.na(x), "", sprintf("%.17g", x))

curve <- function(truth, score) {
  roc(truth, score, levels = c(0, 1), direction = "<", quiet = TRUE)
}

value_row <- function(name, case) {
  one <- curve(case$truth, case$a)
  ci <- suppressWarnings(ci.auc(one, method = "delong"))
  row <- c(auc_a = as.numeric(auc(one)), var_a = var(one, method = "delong"),
           low_a = ci[1], high_a = ci[3], auc_b = NA, var_b = NA, z = NA, p = NA)
  if (!is.null(case$b)) {
    other <- curve(case$truth, case$b)
    test <- suppressWarnings(roc.test(one, other, method = "delong", paired = TRUE))
    row[c("auc_b", "var_b", "z", "p")] <-
      c(as.numeric(auc(other)), var(other, method = "delong"), test$statistic, test$p.value)
  }
  data.frame(case = name, as.list(digits(row)))
}

input_rows <- function(name, case) {
  b <- if (is.null(case$b)) rep(NA, length(case$a)) else case$b
  data.frame(case = name, truth = case$truth, a = digits(case$a), b = digits(b))
}

stopifnot(length(cases) == 18)
save <- function(make, file) {
  rows <- do.call(rbind, Map(make, names(cases), cases))
  write.csv(rows, file, row.names = FALSE, quote = 1)
}
save(input_rows, "inputs.csv")
save(value_row, "values.csv")
cat(R.version.string, "pROC", as.character(packageVersion("pROC")), "\n")
