"""The report's experiments: data, training, scoring, and the report built from the records.

``catalogue`` lists every variant as data, ``runner`` trains, exports and measures it, ``report``
reads the records that are left behind. TensorFlow is imported only while something is trained
or predicted.
"""
