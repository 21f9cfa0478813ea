"""What a trial reports after each epoch, by name; apart, because trials load neither the searcher nor the study."""

VALUE = "value"  # the best metric on the validation split so far; at the end the student's
BUDGET = "budget"  # epochs that were scored; one more with the finished student's scores
